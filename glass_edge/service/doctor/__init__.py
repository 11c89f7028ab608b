"""What `glass-edge doctor` looks at: the parts of a station before it runs, with the remedy where one is not well."""
