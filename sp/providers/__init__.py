"""Identity providers: settings, presets, keys, and where they are stored."""
