"""Documents to pages, words, boxes, labels and pictures in Parquet, on Ray Data."""
