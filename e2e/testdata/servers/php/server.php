<?php
printf("hello from pid %d (%s/%s)\n", getmypid(), getenv("CLUSTERD_APP"), getenv("CLUSTERD_INSTANCE"));
