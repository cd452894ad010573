"""Tests of the gallery in a real browser, the system's Chromium; `make test-web`."""
