"""How bytes move: settings, two clients with one rule book, and the guards that no door goes round."""
