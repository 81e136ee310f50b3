"""AWS Trainium and Inferentia devices for drakit."""
