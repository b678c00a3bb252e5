"""Words and files → heads, and heads kept on disk and offered by id."""
