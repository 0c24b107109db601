"""Groups of settings with a name: files of assignments that are laid over setting.py by `preset`."""
