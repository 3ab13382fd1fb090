"""How records look on a terminal: tables and bars where a person watches, plain lines in a log."""
