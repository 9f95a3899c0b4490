"""Measurements of the book's recipes: how good after a minute, how fast, what a GPU makes of them. See README.md."""
