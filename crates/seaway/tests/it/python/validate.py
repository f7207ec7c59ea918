"""Checks JSON against a schema. Standard input is a JSON object with `schema`, and `accept` and `refuse`: lists of
documents. With `accept` and `refuse` empty only the schema itself is checked."""

import json
import sys

from jsonschema import Draft202012Validator

given = json.load(sys.stdin)
Draft202012Validator.check_schema(given["schema"])
validator = Draft202012Validator(given["schema"])
for document in given.get("accept", []):
    for error in validator.iter_errors(document):
        sys.exit(f"refused at {error.json_path}: {error.message}")
for document in given.get("refuse", []):
    if validator.is_valid(document):
        sys.exit(f"accepted: {json.dumps(document)}")
print("valid")
