"""The ways out of a refusal, by what it is about: money, requests and keys, or the sidecar itself."""
