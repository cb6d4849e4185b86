"""Speed and quality side by side with what a user would take instead: each prints a table and one JSON line."""
