"""Plans, feedback paths and first values."""
