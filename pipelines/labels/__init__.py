"""What is worked out from words and boxes: order, lines, grid cells, language."""
