"""Mock devices and faked hardware for drakit."""
