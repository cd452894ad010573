"""The click commands: from a sweep file to rows and messages, and back to answers."""
