"""Everything durable, and the words that producer and workers share."""
