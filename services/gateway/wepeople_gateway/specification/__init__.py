"""What the gateway and the stream promise, as OpenAPI and AsyncAPI, made from the types that keep the promise.

`python -m wepeople_gateway.specification` prints the OpenAPI document, with the argument `asyncapi` the other one.
"""
