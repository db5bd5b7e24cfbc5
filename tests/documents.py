"""The bodies that the documents of the source systems show, as they stand there."""

from __future__ import annotations

import json
from typing import Any

LOOKUP_CUSTOMER_JSON = """{
    "name": "lookup_customer",
    "display_name": "Kunden-Lookup",
    "description": "Looks up customer info by phone number",
    "tool_type": "http_request",
    "config": {
      "url": "https://crm.example.com/api/customers",
      "method": "GET",
      "headers": [{"key": "Authorization", "value": "Bearer YOUR_KEY"}],
      "timeout": 30,
      "speak_during_execution": true,
      "speak_after_execution": true
    },
    "priority": 1,
    "is_enabled": true
  }"""
"""A tool of an agent, to be created over REST."""

LOOKUP_CUSTOMER: dict[str, Any] = json.loads(LOOKUP_CUSTOMER_JSON)

GET_TEMPERATURE: dict[str, Any] = {
    "name": "get_temperature",
    "description": "Get the current temperature for a specific city",
    "type": "custom_websocket",
    "execution_mode": "sync",
    "parameters": [
        {"type": "string", "name": "city", "description": "The city to get the temperature for", "is_required": True}
    ],
}
"""A predefined websocket tool."""
