"""Named groups of settings: files of assignments that `preset` lays over setting.py."""
