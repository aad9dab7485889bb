"""Values to text: tables, folded answers, JSON."""
