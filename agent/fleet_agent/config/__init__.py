"""supervisord's INI dialect: from a file to a frozen specification, with every problem named."""
