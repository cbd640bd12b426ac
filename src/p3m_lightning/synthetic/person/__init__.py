"""The person of a portrait: body, head, hair, garments, and what is worn or held."""
