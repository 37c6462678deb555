"""Sources: rows in. A transport brings records with positions; a format turns them into rows."""
