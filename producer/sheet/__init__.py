"""Contact sheets: which axes go where, pages, and the drawing."""
