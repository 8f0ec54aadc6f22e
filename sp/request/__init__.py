"""Pure: what a request says about itself, which of it may be believed, and who it says that somebody is."""
