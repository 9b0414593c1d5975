"""The studio's server: actions over HTTP, their jobs, and the page. No torch here; a process of its own computes."""
