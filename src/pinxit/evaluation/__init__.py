"""An honest score: what is compared, in whose eyes, by which formula, how sure, and beside which anchors."""
