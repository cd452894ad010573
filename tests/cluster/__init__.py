"""Hosts with addresses of their own, and what happens when their network fails."""
