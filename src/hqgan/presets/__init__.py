"""Published configurations as YAML files, each with the level of its evidence in its first line."""
