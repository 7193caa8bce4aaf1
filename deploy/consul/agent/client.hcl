# The agent of a machine that runs lb, server or connectorhost. It keeps the registrations and the checks of its machine
# and passes all other questions on to the servers.

server = false
