"""The person of a portrait: body, head, hair, garments, and things worn or held."""
