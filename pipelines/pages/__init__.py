"""From a document to its pages: isolated reading, trust in text layers, rows."""
