"""Makes `tests/vectors/pricing`: price documents, good and bad, with their keys and the right verdict.

Everything comes from three fixed test keys, so the same bytes come out each time. Nothing of ours is
imported: our verifier is not asked what is right. Each vector but the good ones is wrong in one thing.

    python tests/support/pricing_vectors.py            # writes schema1.json, schema2.json and keys.json
"""

import json

from independent_signer import public_of
from price_vector import FOLDER, SEEDS, Vector, of_json, text_of
from schema1_vectors import schema_1
from schema2_vectors import schema_2


def load(schema: int) -> list[Vector]:
    """Return the vectors of a schema, as they stand in the file."""
    return [of_json(row) for row in json.loads((FOLDER / f"schema{schema}.json").read_bytes())["vectors"]]


def files() -> dict[str, bytes]:
    """Return the files by name."""
    keys = [
        {"id": key_id, "private_seed": text_of(seed), "public_key": text_of(public_of(seed))}
        for key_id, seed in SEEDS.items()
    ]
    made = {"keys.json": {"note": "test keys, known to everyone: pin them nowhere", "keys": keys}}
    for number, vectors in ((1, schema_1()), (2, schema_2())):
        made[f"schema{number}.json"] = {"schema": number, "vectors": [one.to_json() for one in vectors]}
    return {name: (json.dumps(value, indent=1) + "\n").encode() for name, value in made.items()}


if __name__ == "__main__":
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)
