"""ONNX Runtime's side of `scripts/compare-encoders`: one line of JSON out for each in; see worker.rs.

A task may also say which `model` (a path) and whether waiting threads `spin`; a session is made for each pair that occurs.
"""
import argparse
import functools
import json
import sys
import time

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer


class Encoder:
    def __init__(self, tokenizer, max_length, threads):
        self.tokenizer = Tokenizer.from_file(tokenizer)
        # As Rhumb does: no padding to 128, whatever the file asks for, and "[SEP]" in a text is text.
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length)
        self.tokenizer.encode_special_tokens = True
        self.threads = threads

    @functools.cache
    def session(self, model, spin):
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def tokenize(self, texts):
        # The fast way leaves out the offsets, which nobody needs here.
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]

    def embed(self, session, texts):
        rows = self.tokenize(texts)
        longest = max(map(len, rows))
        if min(map(len, rows)) == longest:
            ids = np.array(rows, np.int64)
            mask = np.ones_like(ids)
        else:
            ids = np.array([row + [0] * (longest - len(row)) for row in rows], np.int64)
            mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], np.int64)
        return rows, session.run(["pooled"], {"ids": ids, "mask": mask})[0]


def timed(embed, batches, least):
    embed(batches[0])  # other processes had the caches
    started, passes = time.perf_counter(), 0
    while True:
        for batch in batches:
            embed(batch)
        passes += 1
        taken = time.perf_counter() - started
        if taken >= least:
            return {"passes": passes, "seconds": taken}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--texts", required=True)
    args = parser.parse_args()
    texts = [json.loads(line)["text"] for line in open(args.texts, encoding="utf-8")]
    encoder = Encoder(args.tokenizer, args.max_length, args.threads)

    def answer(value):
        json.dump(value, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()

    answer({"backend": "onnxruntime", "version": ort.__version__, "threads": args.threads})
    for line in sys.stdin:
        task = json.loads(line)
        embed = functools.partial(encoder.embed, encoder.session(task["model"], task.get("spin", True)))
        batches = [[texts[number] for number in batch] for batch in task["batches"]]
        if task.get("vectors"):
            done = [embed(batch) for batch in batches]
            answer({"ids": [ids for rows, _ in done for ids in rows], "vectors": [v.tolist() for _, found in done for v in found]})
        else:
            answer(timed(embed, batches, task["seconds"]))


if __name__ == "__main__":
    main()
