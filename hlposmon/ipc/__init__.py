"""What connects our own processes: report queues, listening sockets, one-value mailboxes."""
