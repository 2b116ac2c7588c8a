"""Amazon Bedrock: one provider, many families of models."""
