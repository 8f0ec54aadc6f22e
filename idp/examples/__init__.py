"""Example directories: copy one, adapt it to your people, and name its `open_directory` in IDP_PEOPLE."""
