"""The forms of the settings pages: what a browser sends, turned into settings, and back."""
