"""What the primitive ``kafka_topic`` is made of.

``spec`` is what a manifest wants, ``comparing`` what making it so does to the events; both pure. ``settings`` says
which broker, ``cluster`` talks to it and pins it, ``reaching`` and ``probing`` turn its errors into ours. ``checking``
asks it whether it would take what is wanted, ``reading`` what there is, in bulk, ``sizes`` how much that is;
``changing`` makes it so. ``marks`` holds whose a topic is, ``acls`` who may use it, ``assigning`` where its replicas
lie, ``schemas`` what its messages look like.

kafka-python is imported where it is used, never when these modules are.
"""
