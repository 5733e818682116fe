from ganbench import hookimpl

ganbench_api = 1


@hookimpl
def ganbench_losses():
    return {"focal": "ganbench_example_loss.focal:Focal"}
