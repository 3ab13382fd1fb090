"""The self-contained HTML report. It draws records and knows no other room."""
