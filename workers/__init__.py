"""The processes that hold models and make the images."""
