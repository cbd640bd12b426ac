"""The Hydra groups; a package so that editable installs find it (they do not find namespace packages below others)."""
