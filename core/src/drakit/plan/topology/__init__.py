"""The topology picture of a node: what is there, what belongs together, what is linked, and who has it.

`pictures_of` makes a picture of each node from slices, claims and nodes, as documents; the devices of a plan's answer
stand out where `Inputs.marks` names them. A picture is then written as text, SVG or HTML. Pure, and of no vendor: it
goes by standard attributes, `*/devicegroup<N>_id`, and the rule of links (`drakit.plan.topology.links`).
"""

from drakit.plan.topology.model import Picture
from drakit.plan.topology.page import html_page
from drakit.plan.topology.reading import Inputs, pictures_of
from drakit.plan.topology.svg import draw, svg_document
from drakit.plan.topology.text import text_of

__all__ = ["Inputs", "Picture", "draw", "html_page", "pictures_of", "svg_document", "text_of"]
