"""A trained classifier at work: what it sees in pictures, and how sure it is."""
