"""The shared-memory snapshot: its byte layout and its writer."""
