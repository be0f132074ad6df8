"""Ways in and out of the tracker: queue, journal, snapshot, server. They carry, they do not interpret."""
