-- Nobody reads these any more.
DROP TABLE quota.checkpoint, quota.usage, quota.charged_ids;
