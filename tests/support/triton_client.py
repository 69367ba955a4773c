"""Asks servers with NVIDIA's clients of the Open Inference Protocol, in the servers' environment.

Each line of the input is JSON: a list of requests that are sent at the same time, each with `way`
(http, grpc), `address`, `model`, `images` in base64, and `axes` of the tensor. Each line of the
output is the list of answers: the outputs, or `code` and `error`. HTTP sends what `text` asks for:
base64, as KServe makes text of what it receives.
"""

import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

OUTPUTS = ("classes", "labels", "probabilities")
CLIENTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}


def answer(asked):
    texts = [image.encode() for image in asked["images"]]
    images = texts if asked.get("text") else [base64.b64decode(text) for text in texts]
    values = np.empty(len(images), object)
    values[:] = images
    values = values.reshape((-1,) + (1,) * (asked["axes"] - 1))
    kind = CLIENTS[asked["way"]]
    tensor = kind.InferInput("image_bytes", list(values.shape), "BYTES")
    tensor.set_data_from_numpy(values)
    client = kind.InferenceServerClient(asked["address"])
    try:
        result = client.infer(asked["model"], [tensor])
        found = {name: result.as_numpy(name) for name in OUTPUTS}
    except InferenceServerException as error:
        return {"code": error.status(), "error": error.message()}
    finally:
        client.close()
    found["labels"] = np.char.decode(found["labels"].astype(bytes))
    return {name: value.tolist() for name, value in found.items()}


if __name__ == "__main__":
    with ThreadPoolExecutor(16) as pool:
        for line in sys.stdin:
            print(json.dumps(list(pool.map(answer, json.loads(line)))), flush=True)
