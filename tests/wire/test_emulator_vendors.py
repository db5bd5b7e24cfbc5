"""All emulators at once, as an application has them."""

import anyio
import pytest

from patter.testing.emulators import Vendors

pytestmark = pytest.mark.anyio

NAMES = ("deepgram", "openai", "anthropic", "elevenlabs")


async def test_all_vendors_start_and_end_together():
    with anyio.fail_after(20):
        async with Vendors() as vendors:
            origins = [getattr(vendors, name).base_url for name in NAMES]
            assert len(set(origins)) == len(NAMES)
            began = anyio.current_time()
        assert anyio.current_time() - began < 3
    assert all(origin.startswith("http://127.0.0.1:") for origin in origins)


async def test_an_error_of_the_owner_comes_out_as_it_is():
    with pytest.raises(KeyError, match="mine"):
        async with Vendors():
            raise KeyError("mine")
