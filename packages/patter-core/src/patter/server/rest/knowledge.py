"""The documents that an agent looks things up in."""

from __future__ import annotations

from typing import Any

from patter.server.rest.bodies import DocumentCreate, read
from patter.server.rest.endpoint import Answer, Endpoint, Visit
from patter.server.rest.errors import ApiError
from patter.store.knowledge import Document

__all__ = ["ENDPOINTS"]


async def list_documents(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.look()
    documents = await visit.site.workspace.knowledge.documents(agent=visit.agent().id)
    return Answer([_shown(one) for one in documents])


async def get_document(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.look()
    for one in await visit.site.workspace.knowledge.documents(agent=visit.agent().id):
        if one.id == visit.path["document"]:
            return Answer(_shown(one))
    raise _not_found()


async def add_document(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.refresh()
    known = visit.agent()
    if known.agent is not None and known.agent.knowledge is not None:
        raise ApiError("CONFLICT", "The phone's own program gives this agent something else to look things up in.")
    body = read(DocumentCreate, visit.given)
    document = await visit.site.workspace.knowledge.add(body.text, source=body.source, agent=known.id)
    return Answer(_shown(document), f"/agents/{known.id}/knowledge/{document.id}")


async def delete_document(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.refresh()
    known = visit.agent()
    if not await visit.site.workspace.knowledge.remove(visit.path["document"], agent=known.id):
        raise _not_found()
    return Answer()


def _shown(document: Document) -> dict[str, Any]:
    return {"id": document.id, "source": document.source, "passages": document.passages}


def _not_found() -> ApiError:
    return ApiError("NOT_FOUND", "There is no such document.")


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/agents/{agent}/knowledge",
        act=list_documents,
        summary="List the documents of an agent",
        permission="kb:read",
        gives="[Document]",
    ),
    Endpoint(
        method="POST",
        path="/agents/{agent}/knowledge",
        act=add_document,
        summary="Add a document to what an agent can look up",
        permission="kb:write",
        takes="DocumentCreate",
        gives="Document",
        status=201,
        refusals=("CONFLICT",),
    ),
    Endpoint(
        method="GET",
        path="/agents/{agent}/knowledge/{document}",
        act=get_document,
        summary="Show a document of an agent",
        permission="kb:read",
        gives="Document",
    ),
    Endpoint(
        method="DELETE",
        path="/agents/{agent}/knowledge/{document}",
        act=delete_document,
        summary="Forget a document of an agent",
        permission="kb:write",
        status=204,
    ),
)
