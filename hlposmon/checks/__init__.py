"""What `hlposmon doctor` looks at. Each check reads, changes nothing, and says what to do."""
